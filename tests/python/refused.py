"""One exception for everything that is refused: it names the rule that was broken first."""


class Refused(Exception):
    def __init__(self, fault, verdict=None):
        super().__init__(fault)
        self.fault = fault
        self.verdict = verdict


def require(holds, fault, verdict=None):
    if not holds:
        raise Refused(fault, verdict)
