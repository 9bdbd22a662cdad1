# frozen_string_literal: true

require "json"
require "net/http"
require "openssl"

# What this chat and seenby say to each other: tokens, and one call.
class Seenby
  # The same call would be refused again.
  class Refused < StandardError; end

  # No answer, or one that says "later": make the call again.
  class Away < StandardError; end

  FOR_GOOD = [400, 404, 409, 413, 422, 500].freeze
  NO_ANSWER = [SystemCallError, SocketError, IOError, Timeout::Error, OpenSSL::SSL::SSLError,
               Net::ProtocolError, Net::HTTPBadResponse, JSON::ParserError].freeze

  def self.current
    @current ||= new(
      ENV.fetch("CHAT_SEENBY", "http://localhost:8080"),
      File.read(ENV.fetch("SEENBY_JWT_SECRET_FILE")).strip
    )
  end

  def initialize(api, secret)
    @api = URI(api)
    @secret = secret
  end

  # sub: "bob" for Bob's clients; scope: "service" for the chat itself. Holds for 15 minutes.
  def token(**claims)
    claims[:exp] = Time.now.to_i + 900
    text = [{ alg: "HS256" }, claims].map { |part| base64(part.to_json) }.join(".")
    "#{text}.#{base64(OpenSSL::HMAC.digest("SHA256", @secret, text))}"
  end

  # One call in the name of the chat.
  def call(method, path, body = nil)
    answer = ask(method, path, body)
    return JSON.parse(answer.body) if answer.is_a?(Net::HTTPSuccess)

    why = "#{method} #{path}: #{answer.code}: #{answer.body}"
    raise FOR_GOOD.include?(answer.code.to_i) ? Refused : Away, why
  rescue *NO_ANSWER => error
    raise Away, "#{method} #{path}: #{error.message}"
  end

  private

  def ask(method, path, body)
    request = Net::HTTPGenericRequest.new(method, !body.nil?, true, path)
    request["Authorization"] = "Bearer #{token(scope: "service")}"
    unless body.nil?
      request["Content-Type"] = "application/json"
      request.body = body.to_json
    end
    waits = { open_timeout: 5, read_timeout: 5, write_timeout: 5 }
    Net::HTTP.start(@api.host, @api.port, use_ssl: @api.scheme == "https", **waits) do |http|
      http.request(request)
    end
  end

  def base64(text)
    [text].pack("m0").tr("+/", "-_").delete("=")
  end
end
