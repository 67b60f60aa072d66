package text

import "testing"

func TestEscapeMarkdown(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain words", "plain words"},
		{"a_b|c*d<e>[f]", `a\_b\|c\*d&lt;e>\[f\]`},
		{"left by `sync_worker` in TIME_WAIT", "left by `sync_worker` in TIME\\_WAIT"},
		{"a name`s own", "a name's own"},
	}
	for _, tt := range tests {
		if got := escapeMarkdown(tt.in); got != tt.want {
			t.Errorf("escapeMarkdown(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
