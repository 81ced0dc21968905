"""The gateway's own actions and loops in a world where time, network, peers and database are a seed.

`loop` is the clock, `network` what goes wrong between a gateway and its ports, `tables` + `statements` + `memory_db` the
database, `memory_inventory` the shelf and its robots, `ports` what the actions see of them, `gateway` a process that dies and
comes back, `device` who asks, `plan` what a seed draws, `world` a whole run. `judge` says what was wrong with it, `probes` what
it has met. `drops` and `mutants` leave rules out, to see that the judge sees it; `operations` and `differential` hold the memory
database against PostgreSQL.

    python -m tests.proofs.simulation --seeds 5000                 # the long run, with a summary
    python -m tests.proofs.simulation --seed 4711 --trace          # one run, event by event (--order o3: of one order)
    python -m tests.proofs.simulation --seeds 300 --drop NO_TOMBSTONE --until-found
    python -m tests.proofs.simulation.differential --lists 5000    # the long comparison
    python -m tests.proofs.simulation.mutants                      # which check finds which broken rule of the product
"""
