"""Other data that stand in the place of noise, encoded once and kept with the network.

Shapes: M members, L tokens a row, C numbers a token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.core.data import located
from beeline.core.errors import UserError
from beeline.core.offers import Populated
from beeline.core.protocols import Modality
from beeline.modalities.loading import ModalitySource, ask
from beeline.model.codec import Codec
from beeline.model.codec_checks import check_example


def encode_population(source: ModalitySource, modality: Modality, codec: Codec, is_packed: bool) -> Tensor:
    """(M, L, C) tokens of the members of the population that a modality offers.

    Args:
        source: of the modality, for messages.
        modality: the kind of data.
        codec: fitted, knowing the forms of the training samples.
        is_packed: whether training packs several samples into a row.

    Raises:
        UserError: there is no population, or its members have not the one form of all training samples.
    """
    if not isinstance(modality, Populated):
        raise UserError(f"process.source population: {source.name} offers none; give it a method population()")
    if is_packed or len(codec.forms) != 1:
        why = "train.packing puts several into a row" if is_packed else f"they have {len(codec.forms)} forms"
        raise UserError(f"process.source population: needs samples of one form, each in a row of its own; {why}")
    members = ask(source, modality, "population")
    if not len(members):
        raise UserError(f"{source.name}: its population holds no example")
    wanted, encoded = codec.forms[0][0], []
    for index in range(len(members)):
        try:
            check_example(members[index])
            tokens = codec.tokens(members[index])
        except UserError as error:
            raise UserError(f"{source.name}: {located('population', members, index, error)}") from None
        if (form := codec.tokenizer.form(codec.tokenizer.decode(tokens))) != wanted:
            problem = f"has form {form}, the training samples {wanted}"
            raise UserError(f"{source.name}: {located('population', members, index, problem)}")
        encoded.append(tokens.values)
    return torch.cat(encoded)
