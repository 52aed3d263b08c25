"""Whatever is sent, the answer is one of ours: no 5xx, no code that is not in the list, no bug."""

import json
import time
from typing import Any

import pytest

from models.refusals import ErrorCode
from schema.root import graphql_schema
from tests.resolvers.orders import put_order
from tests.shop import Client, Shop
from tests.wire.random_requests import RandomRequests

CODES = {code.value for code in ErrorCode} - {ErrorCode.INTERNAL_SERVER_ERROR.value}
ACCEPTS = ["application/json", "application/graphql-response+json", "*/*"]


EVERYTHING = """{
  me { id
    favorites { edges { node { id } } }
    orders { edges { node { id store { id } conversation { id } } } }
    conversations { edges { node { id } } }
    coupons { edges { node { id } } }
  }
  products { edges { node { id } } }
}"""


def ids(found: Any) -> list[str]:
    """Every id anywhere in an answer."""
    if isinstance(found, list):
        return [one for entry in found for one in ids(entry)]
    if not isinstance(found, dict):
        return []
    return [one for name, value in found.items() for one in ([value] if name == "id" else ids(value))]


async def send(client: Client, body: Any, accept: str) -> None:
    headers = {"accept": accept, "authorization": f"Bearer {client.token}", "content-type": "application/json"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = await client.http.post("/graphql", content=content, headers=headers)
    assert response.status_code < 500 or response.status_code == 503, (content, response.text)
    answer = response.json()
    for error in answer.get("errors", []):
        assert error["extensions"]["code"] in CODES, (content, response.text)
    assert answer.keys() <= {"data", "errors"}


async def fire(shop: Shop, count: int, seed: int) -> None:
    schema = graphql_schema(demo=True)
    buyer, product = await shop.buyer(), await shop.product()
    add = "mutation ($product: ID!) { addFavorite(productId: $product) { __typename } }"
    await buyer.data(add, product=product.id)
    await put_order(shop, buyer, product)
    requests = RandomRequests(schema, seed, ids(await buyer.data(EVERYTHING)))
    random = requests.random
    for _ in range(count):
        root = random.choice([schema.query_type, schema.query_type, schema.mutation_type])
        query = requests.document(root, 1 if root is schema.mutation_type else 2)
        if "advanceClock" in query or "signOut" in query or "signIn" in query:
            continue
        if random.random() < 0.3:
            query = requests.bent(query)
        body: Any = {"query": query, "variables": requests.variables() if random.random() < 0.1 else {}}
        if random.random() < 0.1:
            body = requests.bent(json.dumps(body)).encode()
        await send(random.choice([buyer, shop.staff]), body, random.choice(ACCEPTS))
    assert (await buyer.data("{ __typename }")) == {"__typename": "Query"}


async def test_nothing_breaks_in_some_hundred_requests(shop: Shop) -> None:
    await fire(shop, 120, seed=1)


@pytest.mark.long
async def test_nothing_breaks_in_50_000_requests(shop: Shop) -> None:
    await fire(shop, 25_000, seed=time.time_ns())
