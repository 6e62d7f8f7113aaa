"""What a fault is: something that is really broken, and the alerts that have to arrive."""

import threading
import time

ALL = []


class Fault:
    """`alerts` maps alerts to the labels that they must carry; `what` is for the table."""

    def __init__(self, act, alerts, what, round, limit):
        self.act, self.alerts, self.what, self.round, self.limit = act, alerts, what, round, limit


def fault(what, round, limit=60, **alerts):
    """Marks a generator: what it does before `yield` breaks something, what follows mends it."""

    def take(act):
        ALL.append(Fault(act, alerts, what, round, limit))
        return act

    return take


class Repeat:
    """Does something again and again in the background until it is told to stop."""

    def __init__(self, pause, act):
        self.ended = threading.Event()
        self.pause, self.act = pause, act
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self):
        while not self.ended.is_set():
            try:
                self.act()
            except Exception:  # A server that refuses is what many faults are.
                time.sleep(0.1)
            self.ended.wait(self.pause)

    def stop(self):
        self.ended.set()
        self.thread.join(30)
