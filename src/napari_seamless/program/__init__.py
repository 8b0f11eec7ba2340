"""What the network needs: tracing, rules, demand, region programs, predicted bytes."""
