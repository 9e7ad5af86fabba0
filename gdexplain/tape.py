"""The short address of `gdexplain.by_hand.tape`, which the reference names."""

from gdexplain.by_hand.tape import *  # the whole of it
