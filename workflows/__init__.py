"""What is still to be done, durably: one workflow per verb, and nothing else.

A workflow decides the order of steps, waits and shows. It never touches a database, a network or a key, and it decides nothing about
money: that is what commands do, through the activities named in ``calls.py``. Only ``offerhub.domain`` and ``temporalio`` come in here.
"""
