"""What client and server have in common: the messages on the wire and how arrays look in them."""
