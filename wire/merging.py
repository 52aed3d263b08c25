"""How much work it is to find out whether a document's fields can be merged.

The rule of validation that does so compares every two fields of one name in one place: a few hundred of them stop the
service for a second. Here they are only counted, places of one name together, and given up early.
"""

from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode

from models.refusals import ErrorCode
from wire.costs import Fragments
from wire.errors import RequestError

MAX_FIELDS = 5000
MAX_PAIRS = 2000
MAX_FRAGMENTS = 100
DEEPEST = 40  # deeper than any limit of depth lets a document go, except in circles of fragments


def check_merging(operations: list[SelectionSetNode], fragments: Fragments) -> None:
    """Refuse what would take long to validate.

    Raises:
        RequestError: QUERY_TOO_COMPLEX, more than 5,000 fields with fragments written out, 2,000 pairs of fields that
            have one name in one place, or 100 fragments.
    """
    if len(fragments) > MAX_FRAGMENTS:
        raise RequestError(400, ErrorCode.QUERY_TOO_COMPLEX)
    fields = pairs = 0
    places = [(0, [selections]) for selections in [*operations, *(f.selection_set for f in fragments.values())]]
    while places:
        here: dict[str, list[SelectionSetNode | None]] = {}
        seen: set[str] = set()
        depth, sets = places.pop()
        while sets:
            for node in sets.pop().selections:
                if isinstance(node, FieldNode):
                    fields += 1
                    same = here.setdefault((node.alias or node.name).value, [])
                    pairs += len(same)
                    same.append(node.selection_set)
                elif isinstance(node, InlineFragmentNode):
                    sets.append(node.selection_set)
                elif isinstance(node, FragmentSpreadNode):
                    if node.name.value not in seen and node.name.value in fragments:
                        seen.add(node.name.value)
                        sets.append(fragments[node.name.value].selection_set)
            if fields > MAX_FIELDS or pairs > MAX_PAIRS:
                raise RequestError(400, ErrorCode.QUERY_TOO_COMPLEX)
        for same in here.values() if depth < DEEPEST else ():
            if below := [selections for selections in same if selections is not None]:
                places.append((depth + 1, below))
