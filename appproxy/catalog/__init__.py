"""
What is published: the snapshot that requests are routed by, the feed that keeps
it current, and the file form that administrators write.
"""
