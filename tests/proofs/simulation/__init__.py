"""Deterministic simulation: the gateway's own actions and loops, with time, network, peers and database drawn from a
seed.

`loop` is a virtual clock; `network` injects faults between a gateway and its ports; `tables`, `statements` and
`memory_db` are the database; `memory_inventory` is inventory with its robots; `ports` are a gateway's ports in memory;
`gateway` is a process that crashes and restarts; `device` sends requests; `plan` draws a run; `world` runs it. `checks`
and `answer_checks` check the result, `probes` lists the situations it met. `omitted_rules` and `mutants` omit rules, to
show that the checks notice. `operations` and `differential` compare the memory database with PostgreSQL.

    python -m tests.proofs.simulation --seeds 5000                 # the long run, with a summary
    python -m tests.proofs.simulation --seed 4711 --trace          # one run, event by event (--order o3: of one order)
    python -m tests.proofs.simulation --seeds 300 --omit NO_TOMBSTONE --until-found
    python -m tests.proofs.simulation.differential --lists 5000    # the long comparison
    python -m tests.proofs.simulation.mutants                      # which check finds which rule omitted in the product
"""
