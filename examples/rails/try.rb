# frozen_string_literal: true

# The models and the job without the rest of Rails, for a terminal.

require "active_job"
require "active_record"
require "erb"

class ApplicationRecord < ActiveRecord::Base
  self.abstract_class = true
end

class ApplicationJob < ActiveJob::Base; end

ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: "chat.db", timeout: 5000)
ActiveJob::Base.queue_adapter = :async
ActiveJob::Base.logger = Logger.new(IO::NULL)
ActiveRecord::Migration.verbose = false

%w[services jobs models].each do |folder|
  Dir[File.join(__dir__, "app", folder, "*.rb")].sort.each { |file| require file }
end
require_relative "db/migrate/20260101000000_create_chat"
CreateChat.migrate(:up) unless OutboxCall.table_exists?

case ARGV
in ["group", id, *user_ids]
  Group.make(id, user_ids)
in ["post", id, user, text]
  puts "message #{Group.find(id).post(user, text).id}"
in ["leave", id, user]
  Group.find(id).change(remove: [user])
in ["token", user]
  puts Seenby.current.token(sub: user)
in ["messages", id, user]
  shown = Group.find(id).messages.order(:id).to_a
  counts = Message.counts(shown.select { |message| message.sender == user }, user)
  shown.each do |message|
    read, of = counts[message.id]
    puts "#{message.id} #{message.text} #{"read by #{read} of #{of}" if of}".strip
  end
in ["jobs"]
  # Stands for your job queue: whatever could not be told is tried until it is.
  OutboxJob.perform_now
  sleep
end
