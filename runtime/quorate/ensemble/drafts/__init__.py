"""Guesses of what will be chosen next, so that members compute several rows in one call.

A draft decides what is computed together, and nothing of the answer: a wrong one costs the time
that it took. ``lookup`` guesses by what prompt and answer said before, a member by its own choices;
``pace`` says who, and how far, by what that costs and how often it was right.
"""
