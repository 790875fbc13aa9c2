"""Building blocks of models, as functions and small modules over the ops."""
