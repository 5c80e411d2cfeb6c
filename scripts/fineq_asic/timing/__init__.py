"""Static timing with OpenSTA; loads and slews of nets."""
