"""Says whether a productpage of Bookinfo has all its parts; it answers 200 without them, too.

Source: the templates and the reviews app of Istio's samples/bookinfo. Reviews v1 has no stars; v2
and v3 show an error in their place.
"""

from __future__ import annotations

from meshproof.mesh.http import HttpResponse
from meshproof.traffic.failure_analysis import describe_response

COMPLETE = "complete page"
_PARTS = {
    "details": ("Book Details", "Error fetching product details!"),
    "reviews": ("Book Reviews", "Error fetching product reviews!"),
    "stars": ("", "Ratings service is currently unavailable"),
}


def describe_page(visit: HttpResponse) -> str:
    """Return COMPLETE, or what is wrong: `HTTP 503, empty`, `HTTP 200 without stars`."""
    if visit.status != 200:
        return describe_response(visit)
    for part, (heading, error) in _PARTS.items():
        if error in visit.text or heading not in visit.text:
            return f"HTTP 200 without {part}"
    return COMPLETE
