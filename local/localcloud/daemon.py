"""The process behind `make local-up`: the API, and the followers that make real what it says."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

from localcloud import api, caches, instances, schedule
from localcloud.aws import client
from localcloud.balancer import follow as balancer
from localcloud.link import Link
from localcloud.metadata import Metadata
from localcloud.settings import API_HOST, API_PORT, HOSTS_API, METADATA

log = logging.getLogger("daemon")

#: Seconds between two rounds when the API was not told anything.
ROUND = 5.0
stopping = threading.Event()


class Follower(threading.Thread):
    """Calls `follow` after every change, and now and then."""

    def __init__(self, name: str, follow: Callable[[], None], pause: float = ROUND) -> None:
        super().__init__(name=name, daemon=True)
        self.changed = threading.Event()
        self.follow, self.pause = follow, pause

    def run(self) -> None:
        """Until the process ends; a round that fails is told in the log and tried again."""
        last = ""
        while not stopping.is_set():
            self.changed.clear()
            try:
                self.follow()
                last = ""
            except Exception as error:  # Docker, the API or a follower's fault: the next round may do better
                if str(error) != last:
                    log.exception(self.name)
                last = str(error)
            self.changed.wait(self.pause)


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    followers = [
        Follower("instances", instances.follow),
        Follower("balancer", balancer.follow, pause=1.0),
        Follower("caches", caches.follow),
        Follower("schedule", schedule.follow),
    ]

    def changed() -> None:
        for follower in followers:
            follower.changed.set()

    aws_api = api.application(changed)
    api.serve(aws_api, API_HOST, API_PORT)
    # Follows the registry's container and nothing in the API.
    link = Follower("link", Link({METADATA: Metadata(client), HOSTS_API: aws_api}).follow)
    for follower in [*followers, link]:
        follower.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    log.info("serving at %s", API_PORT)
    stopping.wait()


if __name__ == "__main__":
    main()
