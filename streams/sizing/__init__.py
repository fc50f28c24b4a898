"""How much of everything a load needs: arithmetic alone, nothing is asked and nothing is changed."""
