"""The tests of hotgraph; they mirror protos/, server/ and client/ file by file."""
