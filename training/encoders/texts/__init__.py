"""Encoders that are trained on the shop's own texts: TF-IDF, Word2Vec, LSTM."""

from training.encoders.texts.run import encoder_for as encoder_for
