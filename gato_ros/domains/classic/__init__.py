"""Gymnasium's own environments: carts, poles, landers, grid worlds, MuJoCo's bodies.

domain.py is the domain ``gymnasium``, tasks.py the table of its tasks. Every expert is a function
of what is seen, so that it labels any state: rules.py, tables.py, balance.py, linear.py.
"""
