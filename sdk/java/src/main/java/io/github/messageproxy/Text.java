package io.github.messageproxy;

/** What the wire contract's strings have to be. */
final class Text {
    private Text() {}

    /** Whether a text is valid Unicode: it has no surrogate that stands alone, which UTF-8 can't encode. */
    static boolean isUnicode(String text) {
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (!Character.isSurrogate(c)) {
                continue;
            }
            boolean paired = i + 1 < text.length() && Character.isSurrogatePair(c, text.charAt(i + 1));
            if (!paired) {
                return false;
            }
            i++;
        }
        return true;
    }

    /** How many bytes a text has in UTF-8. */
    static long utf8Length(String text) {
        long bytes = 0;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c < 0x80) {
                bytes++;
            } else if (c < 0x800 || Character.isSurrogate(c)) {
                bytes += 2; // two surrogates make four
            } else {
                bytes += 3;
            }
        }
        return bytes;
    }
}
