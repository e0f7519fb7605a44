"""The Textual application. Everything it knows comes from `keydeck.present`; everything it does, from the engine."""
