"""Where "look again" comes from. A source never says what happened: the pass finds out."""
