"""FedTiny: pruning where the training data stays with its owners (Huang et al., ICDCS 2023; methods.md section 11).

A server without data chooses among candidates by the votes of clients, and adjusts the masks by the largest gradients
that they send. The algorithm is plain torch and NumPy; who carries the messages is exchangeable: this process
(`in_turn`) or Flower's simulation engine (`flower`).
"""
