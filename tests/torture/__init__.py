"""Torture: workloads on a whole cluster while faults happen to it, and checkers that judge what clients saw.

The nouns: an *operation* is one thing that a client asked for, from its invocation to its outcome; a *history* is
all operations of one workload in one round; an *outcome* is ok, fail (certainly without effect) or info (nobody
told: it may have happened, now or later); a *workload* makes operations; a *checker* reads a history and names
the *anomalies* in it; a *fault* is done to the cluster and healed; a *round* is some workloads and some faults
on one seed, with a verdict at its end.

Histories, checkers and the choice of faults know no clock, no socket and no random source but the one they are
given. The names are Jepsen's and Elle's.
"""
