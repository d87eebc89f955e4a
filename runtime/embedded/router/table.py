"""The router's one table."""

from runtime.embedded.nft.ruleset import Table
from runtime.embedded.router.isolation import isolation_chains, isolation_sets
from runtime.embedded.router.services import service_chains, service_sets
from runtime.embedded.router.wiring import Wiring

NAME = "trueup"


def router_table(wiring: Wiring) -> Table:
    return Table(
        name=NAME,
        sets=(*service_sets(wiring), *isolation_sets(wiring)),
        chains=(*isolation_chains(), *service_chains()),
    )
