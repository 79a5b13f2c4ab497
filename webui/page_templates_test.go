package webui

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every page parses in every language, and escaping finds its contexts; what is kept
// is bounded, and the page used last is kept.
func TestEveryPageParses(t *testing.T) {
	v, err := newViews()
	require.NoError(t, err)
	names := v.pages.names()
	require.Greater(t, len(names), keptPages)
	for lang := range v.locales {
		for _, name := range names {
			page, err := v.pages.page(lang, name)
			require.NoError(t, err)
			require.NotNil(t, page.Lookup("layout"), name)
			// Without data it cannot be shown, but it is escaped before that.
			if err := page.ExecuteTemplate(io.Discard, "layout", view{Lang: lang}); err != nil {
				require.NotContains(t, err.Error(), "html/template", name)
			}
			again, err := v.pages.page(lang, name)
			require.NoError(t, err)
			require.Same(t, page, again)
			require.LessOrEqual(t, len(v.pages.kept), keptPages)
		}
	}
	for _, wrong := range [][2]string{{"es", "nothing"}, {"xx", names[0]}, {"es", "_layout"}, {"es", "../locales/es"}} {
		_, err := v.pages.page(wrong[0], wrong[1])
		require.ErrorIs(t, err, errNoPage)
	}
}
