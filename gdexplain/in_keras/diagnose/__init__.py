"""Why does my training fail? One module looks, one measures, one tries one change at a time, one says what helps."""
