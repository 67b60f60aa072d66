package tracer

import (
	"testing"

	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

func TestMain(m *testing.M) { tracertest.Main(m) }
