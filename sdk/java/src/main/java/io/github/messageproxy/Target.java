package io.github.messageproxy;

import java.util.Locale;

/** Refuses targets that can never work: gRPC takes most of them, and then tries for ever. */
final class Target {
    private Target() {}

    static void check(String target) {
        if (target == null || target.isEmpty()) {
            throw invalid(target, "is empty");
        }
        String lower = target.toLowerCase(Locale.ROOT);
        if (lower.startsWith("http://") || lower.startsWith("https://")) {
            throw invalid(target, "is a URL");
        }
        if (lower.startsWith("dns:")) { // dns:host:port, dns:///host:port, or dns://server/host:port
            String rest = target.substring("dns:".length());
            checkAddress(target, rest.substring(rest.lastIndexOf('/') + 1));
        } else if (!target.contains("://") && !lower.startsWith("unix:")) { // others are for gRPC's resolvers to judge
            checkAddress(target, target);
        }
    }

    private static void checkAddress(String target, String address) {
        int colon = address.lastIndexOf(':');
        if (colon < 0) {
            throw invalid(target, "has no port from 1 to 65535");
        }
        String host = address.substring(0, colon);
        boolean bracketed = host.startsWith("[") && host.endsWith("]");
        if (!bracketed && (host.indexOf(':') >= 0 || host.indexOf('[') >= 0 || host.indexOf(']') >= 0)) {
            throw invalid(target, "is not an address");
        }
        if (!isPort(address.substring(colon + 1))) {
            throw invalid(target, "has no port from 1 to 65535");
        }
        if (host.isEmpty() || host.equals("[]")) {
            throw invalid(target, "has no host");
        }
        if (host.chars().anyMatch(c -> c == '/' || c == '@' || Character.isWhitespace(c))) {
            throw invalid(target, "has a character in its host that no host's name has");
        }
    }

    private static boolean isPort(String text) {
        if (text.isEmpty() || text.length() > 5 || !text.chars().allMatch(c -> c >= '0' && c <= '9')) {
            return false;
        }
        int port = Integer.parseInt(text);
        return port >= 1 && port <= 65535;
    }

    static MessageProxyException invalid(String target, String problem) {
        return Errors.of(Code.INVALID_ARGUMENT, "the target \"" + (target == null ? "" : target) + "\" " + problem
                + ": give \"host:port\", or a target that gRPC knows, such as \"dns:///host:port\"", false);
    }
}
