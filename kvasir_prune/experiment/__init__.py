"""One run: data, training, importance, pruning, cut, evaluation, report; knows where it stopped."""
