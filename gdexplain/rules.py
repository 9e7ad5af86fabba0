"""The short address of `gdexplain.by_hand.rules`, which the reference names."""

from gdexplain.by_hand.rules import *  # the whole of it
