"""The vote: members' next-token distributions become one, and one token is drawn from it.

``fusion`` mixes, ``sampling`` draws, ``votes`` tells who wanted what, ``stops`` and ``text`` turn
the chosen bytes into text; none of these knows an engine, a clock or a network. ``decode`` is the
loop around them, and ``run_ahead`` what takes its place where one member alone can do without.
"""
