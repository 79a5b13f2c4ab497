package queue

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNormalize(t *testing.T) {
	for _, row := range []struct {
		country string
		abroad  bool
		raw     string
		want    string
		code    RejectCode
	}{
		{"ES", false, "+34600111222", "+34600111222", ""},
		{"ES", false, "600111222", "+34600111222", ""},
		{"ES", false, "600 11 12-22", "+34600111222", ""},
		{"ES", false, "(+34) 600.111.222", "+34600111222", ""},
		{"ES", false, "0034600111222", "+34600111222", ""},
		{"ES", false, "34600111222", "+34600111222", ""},
		{"ES", false, "\u00a0600\u202f111222", "+34600111222", ""},
		{"ES", false, "971234567", "+34971234567", ""},
		{"ES", false, "1004", "1004", ""},
		{"ES", false, "217217", "217217", ""},
		{"ES", false, "28014", "", PremiumNumber},
		{"ES", false, "25123", "", PremiumNumber},
		{"ES", false, "797123", "797123", ""},
		{"ES", false, "79123", "", PremiumNumber},
		{"ES", false, "995123", "", PremiumNumber},
		{"DE", false, "25123", "25123", ""},
		{"ES", false, "806123456", "", PremiumNumber},
		{"ES", false, "+34 905 123456", "", PremiumNumber},
		{"ES", false, "902 123 456", "", PremiumNumber},
		{"ES", false, "+4915112345678", "", CountryNotAllowed},
		{"ES", true, "+4915112345678", "+4915112345678", ""},
		{"ES", true, "+49 900 1234567", "", PremiumNumber},
		{"DE", false, "0151 12345678", "+4915112345678", ""},
		{"", false, "+34600111222", "", CountryNotAllowed},
		{"ES", false, "", "", InvalidNumber},
		{"ES", false, "12", "", InvalidNumber},
		{"ES", false, "12ab56789", "", InvalidNumber},
		{"ES", false, "+49*1#", "", InvalidNumber},
		{"ES", false, "600111222\r", "", InvalidNumber},
		{"ES", false, "600111222\x1a", "", InvalidNumber},
		{"ES", false, "٦٠٠١١١٢٢٢", "", InvalidNumber},
		{"ES", false, "6+00111222", "", InvalidNumber},
		{"ES", false, "1234567890123456", "", InvalidNumber},
		{"ES", false, "+34100000000", "", InvalidNumber},
		{"ES", false, "123456789", "", InvalidNumber},
		{"ES", true, "+999123456789", "", InvalidNumber},
	} {
		got, no := NewNumbers(row.country, row.abroad).Normalize(row.raw)
		if row.code != "" {
			require.NotNil(t, no, "%q became %q", row.raw, got)
			require.Equal(t, row.code, no.Code, "%q", row.raw)
			require.Equal(t, row.raw, no.To)
			require.NotEmpty(t, no.Detail)
			continue
		}
		require.Nil(t, no, "%q: %+v", row.raw, no)
		require.Equal(t, row.want, got)
	}
}

var usable = regexp.MustCompile(`^(\+[0-9]{7,15}|[0-9]{3,6})$`)

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"+34600111222", "600 111 222", "28014", "+", "++34", "(600)", "0034600111222", "\x00", "６００", "+1 (800) FLOWERS"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, raw string, abroad bool) {
		n := NewNumbers("ES", abroad)
		got, no := n.Normalize(raw)
		if no != nil {
			require.Empty(t, got)
			return
		}
		require.Regexp(t, usable, got)
		again, no := n.Normalize(got)
		require.Nil(t, no, "%q became %q, which is refused", raw, got)
		require.Equal(t, got, again)
	})
}

func BenchmarkNormalize(b *testing.B) {
	n := NewNumbers("ES", false)
	b.ReportAllocs()
	for b.Loop() {
		if _, no := n.Normalize("600 111 222"); no != nil {
			b.Fatal(no)
		}
	}
}
