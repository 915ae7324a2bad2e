"""From labelled questions to what each plan is good at: grading, fits, verdicts, suggestions.

Pure but for its files. Who asks the questions, and how a report looks, is not decided here.
"""
