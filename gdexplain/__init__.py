"""How gradient descent and backpropagation work, measured in Keras.

The public names stand in ``__init__.pyi``. Each is loaded when it is first used, so ``import gdexplain`` is instant: it
loads no NumPy, no Keras and no matplotlib.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
