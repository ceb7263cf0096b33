"""
The parsers against bytes that a fuzzer thinks up: C{make fuzz}.

One module of L{tests.fuzz.targets} for each parser. It has C{target}, which feeds the parser and
raises L{tests.fuzz.support.Broken} where a promise does not hold, and C{seeds}, what to begin with.
What was found once stays in C{found/NAME/}, and every run of the tests tries it again.
"""
