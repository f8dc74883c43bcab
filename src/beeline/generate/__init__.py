"""The one engine that turns a trained model into native samples."""
