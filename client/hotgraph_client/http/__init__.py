"""The same calls over HTTP/1.1, for places where gRPC is blocked: the Open Inference Protocol's REST face.

requests.py and answers.py are pure: a method's message as an HTTP request, and an HTTP response as what gRPC
would have answered. blocking.py and asynchronous.py carry them, by the route of route.py and the turns and
retries of attempts.py.
"""
