"""The HTML of the productpage: one file, no external assets, light and dark.

Checks read the marks of the official page: the headings, the error texts, `Reviews served by:
<u>POD</u>`, and the class `text-COLOR-500` on the row of stars.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import unquote

from meshproof.apps.calls import Reply

PRODUCT = {
    "id": 0,
    "title": "The Comedy of Errors",
    "descriptionHtml": (
        "A farce of mistaken identity: two pairs of twins, lost to each other since a shipwreck, "
        "meet in one town where everybody takes each for his brother. "
        '<a href="https://en.wikipedia.org/wiki/The_Comedy_of_Errors">More about the play</a>'
    ),
}

_CSS = """
:root { color-scheme: light dark; --paper: #faf7f2; --card: #fff; --ink: #23201c; --soft: #6d655b;
  --line: #e6dfd4; --accent: #1f5f5b; --chip: #edf3f0; --bad: #a3271f; --badbg: #fdf0ee;
  --starbg: transparent }
@media (prefers-color-scheme: dark) { :root { --paper: #181614; --card: #221f1c; --ink: #ece6dc;
  --soft: #a89f92; --line: #37322c; --accent: #7cc4bd; --chip: #243230; --bad: #f0938b;
  --badbg: #3a2422; --starbg: #efe9de } .flex { padding: .3rem .6rem } }
* { box-sizing: border-box; margin: 0 }
body { background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
header, main { max-width: 62rem; margin: 0 auto; padding: 0 1.5rem }
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center;
  justify-content: space-between; padding-top: 1rem; padding-bottom: 1.4rem }
header b, h1, h2, blockquote { font-family: Charter, "Iowan Old Style", Georgia, serif }
header b { font-size: 1.1rem }
a { color: var(--accent); text-underline-offset: .2em }
form, .user { display: flex; gap: .5rem; align-items: center; font-size: .9rem }
input, button { font: inherit; padding: .35rem .75rem; border-radius: .5rem;
  border: 1px solid var(--line); background: var(--card); color: inherit }
input { width: 9rem }
button { background: var(--accent); color: var(--paper); border-color: transparent }
h1 { font-size: clamp(2rem, 5vw, 2.9rem); line-height: 1.1; letter-spacing: -.015em }
h2 { font-size: 1.25rem; margin: 1.7rem 0 .7rem }
.by { color: var(--soft); margin: .35rem 0 .7rem }
.lead, .hint { max-width: 48rem }
.hint { margin-top: 1rem; padding: .6rem 1rem; border-left: 3px solid var(--accent);
  background: var(--chip); border-radius: 0 .5rem .5rem 0; font-size: .92rem }
.row, .hops { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .8rem;
  padding: 1rem 1.25rem }
.facts { display: flex; flex-wrap: wrap; gap: .6rem 1.5rem; justify-content: space-between }
.facts dt { color: var(--soft); font-size: .8rem }
.facts dd { font-variant-numeric: tabular-nums; white-space: nowrap }
blockquote { font-size: 1.1rem; line-height: 1.45; margin: .6rem 0 .5rem }
cite, .none, .served { color: var(--soft); font-style: normal; font-size: .9rem }
.flex { display: inline-flex; font-size: 1.25rem; line-height: 1; border-radius: 2rem;
  background: var(--starbg) }
.gap-x-1 { column-gap: .18rem }
.flex[aria-label$=red] { color: #d0342c } .flex[aria-label$=black] { color: #23201c }
.off { opacity: .2 }
.served { margin-top: .7rem }
.served u { text-decoration: none; color: var(--ink) }
.error { background: var(--badbg); border-color: var(--bad); color: var(--bad); margin-top: 1.7rem }
.error b { display: block }
u, code, .pod { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .86em }
.hops { list-style: none; padding: 0; margin-bottom: 2.5rem }
.hops .card { margin: 0; padding: .75rem 1.1rem }
.pod { color: var(--soft); overflow-wrap: anywhere; display: block }
.error .pod { color: inherit }
.v { float: right; background: var(--chip); color: var(--accent); border-radius: 1rem;
  padding: 0 .6rem; font-size: .82rem; font-weight: 600; line-height: 1.6 }
"""

_SIGN_IN = (
    '<form method="post" action="/login"><input name="username" aria-label="User name" '
    'placeholder="burr" maxlength="64" required><button>Sign in</button></form>'
)


class Part:
    """Another service's part of the page: its content or error, and the pod that served it."""

    __slots__ = ("content", "error", "ok", "pod", "version")

    def __init__(self, reply: Reply) -> None:
        content = _parse_json(reply.body)
        self.ok = reply.status == 200 and isinstance(content, dict)
        self.content: Mapping[str, object] = content if isinstance(content, dict) else {}
        self.error = str(self.content.get("error", "")) or "The answer could not be read."
        self.pod = str(self.content.get("podname") or reply.headers.get("x-served-by", ""))
        self.version = reply.headers.get("x-served-version", "")


def _parse_json(body: bytes) -> object:
    """Return the JSON of a body, or None."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def escape_html(text: object) -> str:
    """Return text escaped for HTML, also for attributes."""
    safe = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace('"', "&quot;").replace("'", "&#39;")


def render_productpage(*, user: str, details: Part, reviews: Part, pod: str, version: str) -> str:
    """Return the page; `user` is the cookie's value of a signed-in user, or empty."""
    body = (
        f'{_render_author(details)}<p class="lead">{PRODUCT["descriptionHtml"]}</p>'
        f"{_render_hint(user)}{_render_details(details)}{_render_reviews(reviews)}"
        '<h2>Who served this page</h2><ul class="hops">'
        f"{_render_hop('productpage', pod, version)}"
        f"{_render_hop('details', details.pod, details.version, down=not details.ok)}"
        f"{_render_hop('reviews', reviews.pod, reviews.version, down=not reviews.ok)}</ul>"
    )
    return _render_document(f"<h1>{PRODUCT['title']}</h1>{body}", _render_user(user))


def render_index() -> str:
    """Return the small page at `/`."""
    return _render_document(
        "<h1>Bookinfo</h1>"
        '<p class="lead" style="margin-top:1rem">One page made by four services: '
        '<a href="/productpage">the productpage</a> asks details and reviews, and reviews v2 and '
        'v3 ask ratings. As JSON: <a href="/api/v1/products">/api/v1/products</a>.</p>',
        "",
    )


def _render_document(main: str, right: str) -> str:
    """Return a whole HTML document."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Bookinfo</title><style>{_CSS}</style></head>\n"
        f"<body><header><b>Bookinfo</b>{right}</header>\n<main>{main}</main></body></html>\n"
    )


def _render_user(user: str) -> str:
    """Return the user's name, or the form to sign in."""
    if not user:
        return _SIGN_IN
    name = escape_html(unquote(user))
    return f'<p class="user">signed in as {name} <a href="/logout">sign out</a></p>'


def _render_hint(user: str) -> str:
    """Return the hint about rules on the user's cookie."""
    if user:
        return (
            f'<p class="hint">The cookie <code>user={escape_html(user)}</code> goes along to every '
            "service. A rule on it decides which reviews you see.</p>"
        )
    return (
        '<p class="hint">Sign in as <b>burr</b> and a rule on <code>Cookie: user=burr</code> can '
        "send you, and only you, to reviews v3 with red stars. Without a rule each reload may "
        "show another version.</p>"
    )


def _render_author(details: Part) -> str:
    """Return the author and the year of the book."""
    if not details.ok:
        return '<p class="by"></p>'
    author, year = details.content.get("author"), details.content.get("year")
    return f'<p class="by">{escape_html(author)}, {escape_html(year)}</p>'


def _render_details(details: Part) -> str:
    """Return the facts about the book, or the error."""
    if not details.ok:
        return _render_error("Error fetching product details!", details.error)
    fields = ("type", "pages", "publisher", "language", "ISBN-10", "ISBN-13")
    facts = "".join(
        f"<div><dt>{name[0].upper() + name[1:]}</dt>"
        f"<dd>{escape_html(details.content.get(name))}</dd></div>"
        for name in fields
    )
    return f'<h2>Book Details</h2><dl class="card facts">{facts}</dl>'


def _render_reviews(reviews: Part) -> str:
    """Return the reviews and who served them, or the error."""
    if not reviews.ok:
        return _render_error("Error fetching product reviews!", reviews.error)
    entries = reviews.content.get("reviews")
    readable_reviews = (
        [review for review in entries if isinstance(review, dict)]
        if isinstance(entries, list)
        else []
    )
    cards = "".join(_render_review(review) for review in readable_reviews)
    cluster = reviews.content.get("clustername", "null")
    cluster_note = "" if cluster in ("null", None) else f" on cluster <u>{escape_html(cluster)}</u>"
    return (
        f'<h2>Book Reviews</h2><div class="row">{cards}</div>'
        f'<p class="served">Reviews served by: <u>{escape_html(reviews.pod)}</u>{cluster_note}</p>'
    )


def _render_review(review: Mapping[str, object]) -> str:
    """Return the card of one review."""
    return (
        f'<section class="card">{_render_stars(review.get("rating"))}'
        f"<blockquote>{escape_html(review.get('text'))}</blockquote>"
        f"<cite>{escape_html(review.get('reviewer'))}</cite></section>"
    )


def _render_stars(rating: object) -> str:
    """Return the stars of a rating, or why there are none."""
    if not isinstance(rating, dict):
        return '<p class="none">no stars in this version</p>'
    stars = rating.get("stars")
    if not isinstance(stars, int):
        return f'<p class="none">{escape_html(rating.get("error", "no stars given"))}</p>'
    count, color = max(0, min(stars, 5)), escape_html(rating.get("color", "black"))
    on, off = "<span>★</span>" * count, '<span class="off">★</span>' * (5 - count)
    label = f'role="img" aria-label="{count} of 5 stars, {color}"'
    return f'<div class="flex gap-x-1 text-{color}-500" {label}>{on}{off}</div>'


def _render_error(title: str, text: str) -> str:
    """Return the box of an error."""
    return f'<div class="card error"><b>{title}</b>{escape_html(text)}</div>'


def _render_hop(service: str, pod: str, version: str, *, down: bool = False) -> str:
    """Return the line about a service: its pod and its version."""
    badge = f'<span class="v">{escape_html(version)}</span>' if version else ""
    pod_text = "not available" if down else escape_html(pod) or "pod not told"
    style = " error" if down else ""
    return (
        f'<li class="card{style}">{badge}<b>{service}</b><span class="pod">{pod_text}</span></li>'
    )
