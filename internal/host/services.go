package host

import (
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// Service is a name that a registry gives to ports. It holds nothing: the
// kernel reads no registry, and most registered services run on no host.
type Service struct {
	Name     string
	Ports    event.PortRange
	Protocol event.Protocol
}

//go:embed iana.txt
var ianaTable string

// IANA is the registry of IANA that is built in, and the words that say of
// what date it is.
func IANA() (services []Service, source string) {
	services, err := ParseServices(ianaTable)
	if err != nil {
		panic("host: built-in table: " + err.Error())
	}
	_, date, _ := strings.Cut(ianaTable, "its file of ")
	date, _, _ = strings.Cut(date, ".\n")
	return services, "IANA, " + date
}

// ParseServices parses the notation of services(5), with several protocols and
// a range of ports allowed ("x11 6000-6063/tcp/udp"), or IANA's own CSV. An
// error names the line. Protocols other than TCP and UDP are passed over.
func ParseServices(text string) ([]Service, error) {
	if strings.HasPrefix(text, "Service Name,") {
		return parseCSV(text)
	}
	var services []Service
	number := 0
	for line := range strings.Lines(text) {
		number++
		content, _, _ := strings.Cut(line, "#")
		words := strings.Fields(content)
		if len(words) == 0 {
			continue
		}
		if len(words) < 2 {
			return nil, lineError(number, line, "want NAME PORT/PROTOCOL")
		}
		ports, protocols, slash := strings.Cut(words[1], "/")
		r, err := ParsePorts(ports)
		if !slash || err != nil {
			return nil, lineError(number, line, "want NAME PORT/PROTOCOL")
		}
		for protocol := range strings.SplitSeq(protocols, "/") {
			services = appendService(services, Service{Name: words[0], Ports: r}, protocol)
		}
	}
	return services, nil
}

func lineError(number int, line, want string) error {
	return fmt.Errorf("line %d, %q: %s", number, event.Printable(strings.TrimSpace(line)), want)
}

func appendService(services []Service, s Service, protocol string) []Service {
	if protocol == "" {
		return services // IANA names a service without a protocol
	}
	if s.Protocol = protocolOf(protocol); s.Protocol == 0 {
		return services
	}
	return append(services, s)
}

// The columns of IANA's CSV (service-names-port-numbers.csv).
const (
	csvName     = "Service Name"
	csvPorts    = "Port Number"
	csvProtocol = "Transport Protocol"
)

func parseCSV(text string) ([]Service, error) {
	r := csv.NewReader(strings.NewReader(text))
	header, err := r.Read()
	if err != nil {
		return nil, err
	}
	name, ports, protocol := slices.Index(header, csvName), slices.Index(header, csvPorts), slices.Index(header, csvProtocol)
	if name < 0 || ports < 0 || protocol < 0 {
		return nil, lineError(1, strings.Join(header, ","), "want the columns "+csvName+", "+csvPorts+" and "+csvProtocol)
	}
	var services []Service
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return services, nil
		}
		if err != nil {
			return nil, err
		}
		if row[name] == "" || row[ports] == "" || row[ports] == "0" {
			continue // reserved, unassigned, or known by name alone
		}
		span, err := ParsePorts(row[ports])
		if err != nil {
			line, _ := r.FieldPos(ports)
			return nil, lineError(line, strings.Join(row[:protocol+1], ","), "want a port or LOW-HIGH")
		}
		services = appendService(services, Service{Name: row[name], Ports: span}, row[protocol])
	}
}
