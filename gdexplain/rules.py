"""The short address of `gdexplain.by_hand.rules`: scripts from before the move to rooms go on."""

from gdexplain.by_hand.rules import *  # the whole of it
