"""Times, lengths of time and numbers in words. Pure."""

import time

_DAY, _HOUR, _MINUTE = 86_400, 3600, 60


def span(seconds: float) -> str:
    """`2 d 3 h`, `12 min`, `5 s`: the two largest units."""
    rest, parts = round(seconds), []
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (1, "s")):
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number} {unit}")
        if len(parts) == 2 or (parts and size == _MINUTE):
            break
    return " ".join(parts) or "0 s"


def moment(when: float, now: float) -> str:
    """`18:03`, `Fri 18:03`, `28 Nov 18:03`: as short as it is clear."""
    local, today = time.localtime(when), time.localtime(now)
    if local[:3] == today[:3]:
        return time.strftime("%H:%M", local)
    return time.strftime("%a %H:%M" if abs(now - when) < 6 * _DAY else "%d %b %H:%M", local)
