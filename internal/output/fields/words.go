package fields

// The closed lists of words, as internal/event spells them; a test compares.
const (
	kindWords       = "start allocate state time_wait release failure limits netns owner lost correction tick accepted fork idle"
	stateWords      = "ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN CLOSING NEW_SYN_RECV BOUND UNCONNECTED CONNECTED"
	substateWords   = "fin_wait2 time_wait"
	originWords     = "connect bind bind0 listen autobind accept unknown"
	causeWords      = "closed expired reused killed reset overflow netns disconnected lost"
	lostCauseWords  = "ring map nested truncated reader damaged disk_full"
	correctionWords = "begin holds gone end"
	operationWords  = "bind connect listen send"
	reasonWords     = "pool_exhausted range_exhausted port_held tuple_taken privileged address_not_local no_source_address policy no_memory other"
	protocolWords   = "tcp udp"
	familyWords     = "ipv4 ipv6"
)
