package text

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPage(t *testing.T) {
	const page = "Text with `code` and a **strong** word.\n\n## What `it` is\n\n```console\n$ ls | wc\n\n| no table |\n```\n\n" +
		"| what | price |\n|---|--:|\n| `one` | a long price that has to be wrapped somewhere |\n| another | - |\n* a list\n"
	const want = `Text with code and a strong word.

WHAT IT IS

  $ ls | wc

  | no table |

WHAT     PRICE
one      a long price that has
         to be wrapped
         somewhere
another  -
* a list
`
	if diff := cmp.Diff(want, string(appendPage(nil, page, 30))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("A  B\n1  2\n", string(appendPage(nil, "| a | b |\n| 1 | 2 |", 0))); diff != "" {
		t.Errorf("a table at the end: (-want +got):\n%s", diff)
	}
}
