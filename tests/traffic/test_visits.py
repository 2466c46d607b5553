from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from meshproof.base.errors import NotReady, UsageError
from meshproof.mesh.http import HttpRequest, HttpResponse
from meshproof.mesh.protocol import Address
from meshproof.traffic.attribution import Attribution
from meshproof.traffic.sender import Sampling
from meshproof.traffic.visits import Visits


class Site(ThreadingHTTPServer):
    """Counts connections, hangs up on the requests whose numbers are in `silent`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.numbers = itertools.count()
        self.silent: set[int] = set()
        self.clients: list[str] = []
        self.names: list[str] = []
        self.connections = 0

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_GET(self) -> None:
        number = next(self.server.numbers)
        self.server.clients.append(self.client_address[0])
        self.server.names.append(self.headers.get("x-name", ""))
        if number in self.server.silent:
            self.close_connection = True
            return
        body = f"{self.path} {self.headers.get('Cookie')} {self.headers['x-meshproof-run']}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_kinds_of_request_take_turns_in_send_order(site: Site) -> None:
    kinds = [HttpRequest("/a", (("Cookie", "user=burr"),)), HttpRequest("/b")]
    visits = Visits(site.address, kinds, "run-1").take(25)
    assert [visit.request.path for visit in visits] == ["/a", "/b"] * 12 + ["/a"]
    assert visits[0].text == "/a user=burr run-1"
    assert visits[1].text == "/b None run-1"


def test_a_batch_is_sent_only_when_it_is_needed(site: Site) -> None:
    visits = Visits(site.address, [HttpRequest("/")], "r")
    assert next(site.numbers) == 0
    visits.take(11)
    assert visits.sent == 20


def test_one_batch_is_under_way_while_another_is_judged(site: Site) -> None:
    visits = Visits(site.address, [HttpRequest("/a"), HttpRequest("/b")], "r", Sampling(batch=3))
    with contextlib.closing(visits.stream()) as stream:
        seen = [next(stream) for _ in range(12)]
    assert [visit.request.path for visit in seen] == ["/a", "/b"] * 6
    assert visits.sent == 12
    arrived = next(site.numbers)
    assert 12 <= arrived <= 15
    visits.take(3)
    assert next(site.numbers) - arrived == 4, "nothing was under way any more"


def test_a_lost_request_that_is_not_read_is_no_error(site: Site) -> None:
    site.silent = set(range(6, 30))
    visits = Visits(site.address, [HttpRequest("/")], "r", Sampling(batch=3, errors_allowed=0))
    with contextlib.closing(visits.stream()) as stream:
        assert len([next(stream) for _ in range(3)]) == 3
    with pytest.raises(NotReady):
        list(itertools.islice(visits.stream(), 6))


def test_requests_sent_ahead_are_sent_once(site: Site) -> None:
    visits = Visits(site.address, [HttpRequest("/")], "r", Sampling(workers=1, batch=3))
    with ThreadPoolExecutor(1) as executor:
        visits.send_ahead(3, executor)
    assert next(site.numbers) == 3
    assert len(visits.take(3)) == 3
    assert next(site.numbers) == 4
    visits.take(3)
    assert next(site.numbers) == 8


def test_take_raises_when_a_request_sent_ahead_got_no_response(site: Site) -> None:
    site.silent = set(range(10))
    visits = Visits(site.address, [HttpRequest("/")], "r", Sampling(workers=1, batch=1))
    with ThreadPoolExecutor(1) as executor:
        visits.send_ahead(1, executor)
    with pytest.raises(NotReady):
        visits.take(1)


def test_connections_are_kept_or_fresh(site: Site) -> None:
    Visits(site.address, [HttpRequest("/")], "r", Sampling(workers=2)).take(40)
    kept = site.connections
    assert kept <= 2
    Visits(site.address, [HttpRequest("/")], "r", Sampling(workers=2, keep_alive=False)).take(40)
    assert site.connections - kept == 40


def test_clients_take_turns(site: Site) -> None:
    Visits(site.address, [HttpRequest("/")], "r", Sampling(workers=1, clients=3)).take(9)
    assert site.clients[:9] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"] * 3


def test_a_lost_request_is_sent_again_and_not_judged(site: Site) -> None:
    site.silent = {3, 7}
    visits = Visits(site.address, [HttpRequest("/")], "r", Sampling(workers=1))
    assert len(visits.take(20)) == 20
    assert visits.transport_errors == 2


def test_each_sent_request_has_its_own_number(site: Site) -> None:
    site.silent = {3, 7}
    kind = HttpRequest("/", (("Cookie", "a=b"),), numbered_header=("x-name", "mine"))
    visits = Visits(site.address, [kind], "r", Sampling(workers=1))
    responses = visits.take(20)
    assert visits.transport_errors == 2
    names = [dict(response.request.headers)["x-name"] for response in responses]
    assert all(name.startswith("mine-") for name in names)
    assert len(set(site.names)) == len(site.names) == 22
    answered = [name for at, name in enumerate(site.names) if at not in site.silent]
    assert sorted(names) == sorted(answered)
    again = Visits(site.address, [kind], "r", Sampling(workers=1)).take(20)
    assert not {dict(visit.request.headers)["x-name"] for visit in again} & set(names)
    assert "x-name" not in visits.curl


def test_waiting_for_requests_sent_ahead_raises_nothing(site: Site) -> None:
    site.silent = set(range(10))
    visits = Visits(site.address, [HttpRequest("/")], "r", Sampling(workers=1, batch=1))
    visits.wait_for_sent_ahead()
    with ThreadPoolExecutor(1) as executor:
        visits.send_ahead(1, executor)
        visits.wait_for_sent_ahead()
        sent = next(site.numbers)
        assert sent == 3
    with pytest.raises(NotReady):
        visits.take(1)


def test_too_many_lost_requests_end_the_sample(site: Site) -> None:
    site.silent = set(range(0, 100, 2))
    visits = Visits(site.address, [HttpRequest("/")], "r", Sampling(workers=1, errors_allowed=3))
    with pytest.raises(NotReady, match="4 requests got no answer at all"):
        visits.take(50)


def test_an_address_without_a_server_is_named(site: Site) -> None:
    nobody = Address("127.0.0.1", 9)
    with pytest.raises(NotReady, match=r"http://127\.0\.0\.1:9/x: no answer"):
        Visits(nobody, [HttpRequest("/x")], "r", Sampling(workers=1)).take(1)


def test_an_empty_sample_is_refused(site: Site) -> None:
    with pytest.raises(UsageError, match="no request"):
        Visits(site.address, [], "r")


def test_curl_shows_the_request() -> None:
    request = HttpRequest("/productpage", (("Cookie", "a=b; user=burr"),))
    shown = request.build_curl(Address("127.0.0.1", 80))
    assert shown == "curl -i -H 'Cookie: a=b; user=burr' http://127.0.0.1:80/productpage"


def answer(body: str, status: int = 200) -> HttpResponse:
    return HttpResponse(HttpRequest("/"), status, {}, body.encode())


@pytest.mark.parametrize(
    "page",
    [
        "<dt>Reviews served by:</dt>\n <u>reviews-v3-0</u>",
        "Reviews served by: <u>reviews-v3-0</u>",
        "Reviews served by: reviews-v3-0 on cluster",
    ],
)
def test_the_version_of_reviews_is_that_of_the_named_pod(page: str) -> None:
    by = Attribution({"reviews-v3-0": "v3"}).find_reader("reviews")
    assert by(answer(page)) == "v3"
    assert by(answer(page, 503)) is None
    assert by(answer("Error fetching product reviews!")) is None
    assert by(answer("Reviews served by: <u>somebody-else</u>")) == "somebody-else"


def test_the_version_of_orders_is_read_from_the_total() -> None:
    by = Attribution().find_reader("orders")
    assert by(answer('{"total": 1000}')) == "v2"
    assert by(answer('{"total": 1000.0}')) == "v2"
    assert by(answer('{"total": 104.98}')) == "v1"
    assert by(answer("{}")) is None


def test_an_app_without_a_reader_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'reviews'"):
        Attribution().find_reader("review")
