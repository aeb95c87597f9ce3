package protocol_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
)

func TestTextsSurviveJSON(t *testing.T) {
	for _, text := range []protocol.Text{
		"", "plain", `"quoted" \ud800 is no escape`, "grüße 🌍", "\x00\n\t<>&\u2028", protocol.NoUnicode,
		"\xed\xbf\xbf\xed\xa0\x80", "a marker: \U0010f000.",
	} {
		data, err := json.Marshal(text)
		require.NoError(t, err)
		assert.True(t, json.Valid(data), string(data))
		var back protocol.Text
		require.NoError(t, json.Unmarshal(data, &back), string(data))
		assert.Equal(t, text, back, string(data))
	}
	data, err := json.Marshal(protocol.NoUnicode)
	require.NoError(t, err)
	assert.JSONEq(t, `"half a pair: \ud800"`, string(data))
	var pair protocol.Text
	require.NoError(t, json.Unmarshal([]byte(`"\ud83c\udf0d\\ud800"`), &pair))
	assert.Equal(t, protocol.Text(`🌍\ud800`), pair)
	_, err = json.Marshal(protocol.Text("\xff"))
	require.Error(t, err, "half of nothing")
}
