"""A stand-in for text-embeddings-inference 1.9: MiniLM behind TEI's wire contract.

It really embeds, reranks and weighs words; `exchanges.json` holds what a real server answered, and the tests hold the
stand-in to every line of it. What only a client's tests need, TEI's paths do not show: `/stand-in/slow-factor`.
"""
