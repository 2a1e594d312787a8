"""The language model: parameters, cells, output layers, and the engines that run them."""
