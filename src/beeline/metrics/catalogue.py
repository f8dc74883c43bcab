"""Every number that is computed, by what it is: id, meaning, and which values are good.

An id names a formula for good: whoever changes what is computed gives it another.
"""

from __future__ import annotations

from beeline.metrics.formula import Formula

FRECHET = Formula(
    "Frechet distance",
    "frechet-gaussian-1",
    "squared Frechet distance of Gaussians with the moments of samples and held out",
    "lower",
)
MMD = Formula(
    "MMD^2",
    "mmd2-gaussian-median-2",
    "unbiased squared maximum mean discrepancy to held out, Gaussian kernel, real median",
    "lower",
)
CUBIC_MMD = Formula(
    "cubic MMD^2",
    "mmd2-cubic-2",
    "unbiased squared maximum mean discrepancy to held out, kernel (x.y/D + 1)^3, all pairs",
    "lower",
)
ENERGY = Formula(
    "energy distance",
    "energy-euclidean-2",
    "unbiased 2 E|X - Y| - E|X - X'| - E|Y - Y'| to held out, Euclidean distances",
    "lower",
)
SQUARED_ENERGY = Formula(
    "squared energy distance",
    "energy-squared-1",
    "2 |difference of means|^2 to held out: sees the mean alone",
    "lower",
)
SLICED = Formula(
    "sliced Wasserstein distance",
    "sliced-wasserstein2-1",
    "root mean square over 128 directions of the Wasserstein-2 distance to held out along them",
    "lower",
)
NEIGHBOURS = {
    "precision": Formula(
        "precision", "precision-knn3-1", "share of samples within a 3-neighbour ball of a held-out one", "higher"
    ),
    "recall": Formula(
        "recall", "recall-knn3-1", "share of held-out examples within a 3-neighbour ball of a sample", "higher"
    ),
    "density": Formula(
        "density", "density-knn5-1", "mean number of held-out 5-neighbour balls that a sample lies in, over 5", "higher"
    ),
    "coverage": Formula(
        "coverage", "coverage-knn5-1", "share of held-out 5-neighbour balls that hold a sample", "higher"
    ),
}
TWO_SAMPLE = Formula(
    "two-sample AUC",
    "two-sample-auc-trees-1",
    "AUC of trees that tell samples from held out, on folds they have not seen",
    "lower",
    target=0.5,
)
TRAIN_ON_SYNTHETIC = Formula(
    "train on synthetic",
    "train-on-synthetic-trees-1",
    "share of held-out labels found by trees trained on samples",
    "higher",
)
NEAREST = Formula(
    "nearest distance ratio",
    "nearest-distance-ratio-1",
    "median distance to the nearest training example, samples / held out",
    target=1.0,
)
DISTRIBUTION = (
    *(FRECHET, MMD, CUBIC_MMD, ENERGY, SQUARED_ENERGY, SLICED),
    *NEIGHBOURS.values(),
    *(TWO_SAMPLE, TRAIN_ON_SYNTHETIC, NEAREST),
)
"""Of a set of samples against a set of real examples."""

FAIR_CRPS = Formula(
    "fair CRPS",
    "crps-fair-1",
    "1/m sum |x_i - y| - 1/(2m(m-1)) sum |x_i - x_j|, mean over elements",
    "lower",
    target=0.0,
)
BIASED_CRPS = Formula(
    "biased CRPS", "crps-biased-1", "CRPS of the step function of m draws: too high by E|X - X'|/(2m)", "lower"
)
ABSOLUTE_ERROR = Formula(
    "absolute error", "absolute-error-1", "mean |x - y|: the CRPS of a point forecast", "lower", target=0.0
)
FAIR_ENERGY_SCORE = Formula(
    "fair energy score",
    "energy-score-fair-1",
    "1/m sum |x_i - y| - 1/(2m(m-1)) sum |x_i - x_j|, Euclidean norms of whole examples",
    "lower",
    target=0.0,
)
SPREAD_SKILL = Formula(
    "spread/skill",
    "spread-skill-1",
    "sqrt((m+1)/m mean variance of draws / mean squared error of their mean)",
    target=1.0,
)
RANK_COVERAGE = Formula(
    "coverage by rank",
    "coverage-rank-1",
    "share of truths between the k-th draws from either end; right: (m+1-2k)/(m+1)",
)
CALIBRATION_ERROR = Formula(
    "expected calibration error",
    "reliability-ece10-1",
    "mean |frequency - stated probability| over 10 bins, weighted by their counts",
    "lower",
)
ENSEMBLE = (
    *(FAIR_CRPS, BIASED_CRPS, ABSOLUTE_ERROR, FAIR_ENERGY_SCORE),
    *(SPREAD_SKILL, RANK_COVERAGE, CALIBRATION_ERROR),
)
"""Of m draws for an input against its truth."""

POWER_RATIO = Formula(
    "P ratio", "power-ratio-1", "mean P(k) of samples over mean P(k) of truths, per shell", target=1.0
)
TRANSFER = Formula("transfer", "transfer-1", "square root of the P ratio, per shell", target=1.0)
POWER_DEPARTURE = Formula("largest P departure", "power-departure-1", "max |P ratio - 1| over complete shells", "lower")
RESOLVED_DEPARTURE = Formula(
    "largest P departure, resolved",
    "power-departure-resolved-1",
    "max |P ratio - 1| over the largest scales, complete shells that hold 99.9 % of the true variance",
    "lower",
)
CORRELATION = Formula("r(k)", "cross-correlation-1", "sum Re F1 F2* / sqrt(sum |F1|^2 sum |F2|^2), per shell", "higher")
PIXEL_KS = Formula("pixel KS", "pixel-ks-1", "largest difference of the distribution functions of pixels", "lower")
PIXEL_W1 = Formula("pixel W1", "pixel-w1-1", "Wasserstein-1 distance of the distributions of pixels", "lower")
SSIM = Formula(
    "SSIM",
    "ssim-gaussian11-1",
    "structural similarity to the truth, Gaussian window of 11, data range stated",
    "higher",
)
PSNR = Formula("PSNR", "psnr-1", "10 log10(data range^2 / mean squared error), dB", "higher")
TOTAL = Formula("total", "total-departure-1", "mean over inputs of (total of a sample / true total - 1)", target=0.0)
TOTAL_SCATTER = Formula(
    "scatter of the total", "total-scatter-1", "standard deviation over inputs of (total of a sample / true total - 1)"
)
RELATIVE_L2 = Formula("relative L2", "relative-l2-1", "mean over inputs of |x - y| / |y|", "lower")
RMSE_OF_MEAN = Formula(
    "RMSE of the mean", "rmse-ensemble-mean-1", "root mean square of (mean of draws - truth)", "lower", target=0.0
)
FIELDS = (
    *(POWER_RATIO, TRANSFER, POWER_DEPARTURE, RESOLVED_DEPARTURE, CORRELATION, PIXEL_KS, PIXEL_W1, SSIM, PSNR),
    *(TOTAL, TOTAL_SCATTER, RELATIVE_L2, RMSE_OF_MEAN),
)
"""Of fields on grids, in physical units."""

OF_SIZE = frozenset(
    each.formula
    for each in (FRECHET, SLICED, *NEIGHBOURS.values(), TRAIN_ON_SYNTHETIC, POWER_DEPARTURE, PIXEL_KS, PIXEL_W1)
)
"""Ids of numbers whose mean depends on how many samples there are: they compare at equal n only."""

FORMULAS = {each.formula: each for each in (*DISTRIBUTION, *ENSEMBLE, *FIELDS)}
"""By id."""
