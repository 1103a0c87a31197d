"""What servers speak: a model's face, calls as payloads, answers as arrays.

`opening.open_dialect` asks a server what it speaks and what its model takes; what it returns is pure: it
makes payloads and reads answers without asking anybody. Only `asking` has a socket.
"""
